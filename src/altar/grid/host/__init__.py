"""What a host is made of: the executor with its gate and its runtimes, and the streams of its clients and runtimes."""
