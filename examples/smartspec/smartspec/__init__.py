"""SmartSpec: a specification document becomes a plan, tasks, work and a verdict."""
