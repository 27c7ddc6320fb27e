"""What any client of netrox-chat has to survive."""

#: Seconds for anything that has to come, on a busy machine.
PATIENCE = 8.0
#: What the protocol's times are multiplied by: 10 s become half a second.
SCALE = 0.05
