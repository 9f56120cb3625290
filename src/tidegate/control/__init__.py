"""Rules and routes as users write them, to and from what BGP carries, or refused."""
