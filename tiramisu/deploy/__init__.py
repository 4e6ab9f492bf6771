"""How a trained network is used.

predict  one image, whole or in blended tiles
files    many images and videos into a folder (inputs finds them, video does the latter)
tiles    where tiles lie and how they blend; memory how large they may be
"""
