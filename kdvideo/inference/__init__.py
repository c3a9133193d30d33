"""Using a trained model: features of videos, predictions, export for other runtimes."""
