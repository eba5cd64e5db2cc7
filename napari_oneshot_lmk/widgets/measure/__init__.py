"""The dock step "Measure": distances, angles and ratios, tracing lines, tables and pages."""
