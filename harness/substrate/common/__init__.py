"""What every substrate uses: names, folders, ports, probes, logs."""
