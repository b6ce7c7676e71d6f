"""An existing site: it is connected to, never made and never destroyed."""
