"""Columns of any name as a record's fields: `--map input=learner_text,output.level=cefr,task=vocabulary`."""
