"""What this program serves: recordings by signed URL, health, metrics."""
