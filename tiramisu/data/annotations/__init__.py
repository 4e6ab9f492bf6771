"""Annotations as labelling tools write them: their files, and the masks that they stand for.

find_annotations where the annotations of a folder or a file are, and in which format
coco, cvat, labelme, label_studio  read one format each; wording has what their errors share
region           what they read: images with regions, each a label and a shape
run_lengths      masks as run lengths, as the formats write them
mask_drawing     from the regions of an image to the classes of its pixels
annotated_spec   describes annotations without a YAML file
annotated_files  the images of a split, each with what draws its mask

The rules for all formats:

- Regions are drawn in the order of the file, later ones on top; in CVAT by z_order first. COCO
  says nothing about the order of objects, so the order of the file holds there too.
- Polygons of one COCO annotation are a union. Run lengths keep their holes. Polygons cannot have
  any, but a region labelled background, drawn later, cuts one.
- Crowd regions (COCO) are void, and lie below all others.
- The labels __ignore__, ignore and void, in any case, are void and no class.
- Pixels outside of all regions are background, which is class 0; with `unlabelled: void` void.
- An image without any region is an error until `unlabelled` says what it is.
- Classes without a pixel are kept.
"""
