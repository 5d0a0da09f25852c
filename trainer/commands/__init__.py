"""The commands of `gristmill train`, a module a topic; `group` holds the group itself and the options they share."""
