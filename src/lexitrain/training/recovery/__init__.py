"""Recovery: what makes a run go on after a kill, a lost folder, too little memory, or a loss that is not a number."""
