"""The IAM policies of services: kept, read and set as Google's APIs do it, and followed by doors."""
