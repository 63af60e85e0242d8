"""What `seal run` is made of: its settings, the stages they ask for, what stands already, who does the rest.

settings -> stages -> calls -> a plan -> each stage in a process of its own
"""
