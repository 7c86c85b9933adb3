"""What every suite measures with: interleaved rounds, ratios with their spread, figures that can be kept."""
