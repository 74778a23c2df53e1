"""What is started on this machine: the demo, JupyterLab, the dashboard."""
