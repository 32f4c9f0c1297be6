// The load generator and the upstream of the gateway's benchmarks, in one program without dependencies.
//
//	load upstream ADDRESS
//	load whole  TARGET CONNECTIONS SECONDS REQUEST-FILE
//	load stream TARGET CONNECTIONS SECONDS REQUEST-FILE MOST LEAVE
//
// A request file holds one HTTP/1.1 request, sent as it is. Each mode prints one line of JSON.
// A stream that began is waited for until MOST seconds have passed; then it is left, and counts with the events it
// brought. Every LEAVE-th stream (0: none) is left by its caller in the middle, on purpose.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
)

// Report is what a round of load found. Times are in milliseconds.
type Report struct {
	Rate    float64 `json:"rate"`
	Good    int     `json:"good"`
	Done    float64 `json:"done"` // good ones, and the parts that came of unfinished ones
	Bad     int     `json:"bad"`
	Left    int     `json:"left,omitempty"`       // by the caller, on purpose
	Halves  int     `json:"unfinished,omitempty"` // when the time was up
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	First50 float64 `json:"first50,omitempty"`
	First99 float64 `json:"first99,omitempty"`
	Event50 float64 `json:"event50,omitempty"`
	Event99 float64 `json:"event99,omitempty"`
	Events  int     `json:"events,omitempty"`
	Why     string  `json:"why,omitempty"`
}

func percentile(sorted []int64, share float64) float64 {
	if len(sorted) == 0 {
		return -1
	}
	return float64(sorted[int(float64(len(sorted)-1)*share)]) / 1e6
}

func ordered(values []int64) []int64 {
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	return values
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "upstream" {
		must(upstream(os.Args[2]))
		return
	}
	if len(os.Args) != 6 && len(os.Args) != 8 {
		fmt.Fprintln(os.Stderr, "usage: load upstream ADDRESS | load whole|stream TARGET CONNECTIONS SECONDS REQUEST-FILE [MOST LEAVE]")
		os.Exit(2)
	}
	connections, err := strconv.Atoi(os.Args[3])
	must(err)
	seconds, err := strconv.ParseFloat(os.Args[4], 64)
	must(err)
	request, err := os.ReadFile(os.Args[5])
	must(err)
	var report Report
	if os.Args[1] == "whole" {
		report, err = whole(os.Args[2], connections, seconds, request)
	} else {
		most, leave := seconds+20, 0
		if len(os.Args) == 8 {
			most, err = strconv.ParseFloat(os.Args[6], 64)
			must(err)
			leave, err = strconv.Atoi(os.Args[7])
			must(err)
		}
		report, err = stream(os.Args[2], connections, seconds, request, most, leave)
	}
	must(err)
	must(json.NewEncoder(os.Stdout).Encode(report))
}
