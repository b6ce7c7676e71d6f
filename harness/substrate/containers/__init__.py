"""What docker and kind share: the workspace inside a container, and volumes behind an agent."""
