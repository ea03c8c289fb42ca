"""What a run is told: schemas, composition, and what decides its result."""
