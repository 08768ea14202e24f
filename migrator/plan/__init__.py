"""From what a person wrote to what will be done: project file, manifest, jobs, folder mapping, filters."""
