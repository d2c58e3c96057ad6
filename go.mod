module github.com/skepvm/skep

go 1.26
