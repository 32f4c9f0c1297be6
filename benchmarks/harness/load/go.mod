module interplay/load

go 1.21
