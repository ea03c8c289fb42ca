"""What a command says and is answered."""
