"""Pixels for people.

pictures  overlays, legends, grids and PNG files
heat      heat maps with their scale
figure    a Matplotlib figure as a picture
page      web pages in one file: templates, with pictures and figures inside; check_page is one,
          page_path refuses files for them
"""
