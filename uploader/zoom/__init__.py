"""The service's API: tokens, requests, and what its answers mean."""
