"""What a page says about its own use, read from HTTP headers and the parsed page; nothing is guessed from words.

headers     the HTTP headers that are kept beside a page
opt_outs    X-Robots-Tag, meta robots, TDMRep, Content-Usage -> signals such as meta:noai
licenses    Creative Commons licenses and public-domain marks, and the places where a page names them
robots_txt  the robots.txt files of a crawl, and whether they refuse an agent
read        all but robots.txt, for one page
"""
