"""Workers on remote hosts over SSH."""
