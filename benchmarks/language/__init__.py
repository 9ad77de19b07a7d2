"""What language is worth: measurements of texts, of requests in words, and of their controls."""
