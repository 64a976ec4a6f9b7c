"""What lies between us and the system: clock, files, HTTP, S3, logs, the service manager."""
