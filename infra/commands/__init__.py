"""The commands of `bestex`, one file a group. Nothing heavy is imported before the command that needs it runs."""
