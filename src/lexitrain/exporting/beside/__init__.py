"""What lies beside an exported model: grammars of its answers, a Modelfile for Ollama."""
