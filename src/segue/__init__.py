"""Segue: U-Net segmentation for microscopes and scanners."""
