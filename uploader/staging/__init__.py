"""From where the service fetches a recording: a bucket, or this program itself."""
