"""Faults on purpose: kills, damage, full disks, hostile servers."""
