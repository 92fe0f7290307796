"""Pictures of what the network does and how it learned."""
