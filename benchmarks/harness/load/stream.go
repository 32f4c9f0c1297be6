package main

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// numbered counts the streams of all connections, so that every so manieth of them is left.
var numbered atomic.Int64

// stream drives streamed answers. Each content event carries '@' and the 19 digits of when it was sent.
func stream(target string, connections int, seconds float64, request []byte, most float64, leave int) (Report, error) {
	var total Report
	var lock sync.Mutex
	var group sync.WaitGroup
	var first, transit, whole []int64
	start := time.Now()
	end := start.Add(time.Duration(seconds * 1e9))
	bound := start.Add(time.Duration(most * 1e9))
	parts := 0
	for i := 0; i < connections; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			own := listening{bound: bound, leave: leave}
			for time.Now().Before(end) {
				own.one(target, request)
			}
			own.close()
			lock.Lock()
			defer lock.Unlock()
			total.Good += own.good
			total.Bad += own.bad
			total.Left += own.left
			total.Halves += own.unfinished
			total.Events += len(own.transit)
			parts += own.parts
			if own.why != "" {
				total.Why = own.why
			}
			first = append(first, own.first...)
			transit = append(transit, own.transit...)
			whole = append(whole, own.whole...)
		}()
	}
	group.Wait()
	total.Done = float64(total.Good) + float64(parts)/contents
	total.Rate = total.Done / time.Since(start).Seconds()
	ordered(first)
	ordered(transit)
	ordered(whole)
	total.First50, total.First99 = percentile(first, .5), percentile(first, .99)
	total.Event50, total.Event99 = percentile(transit, .5), percentile(transit, .99)
	total.P50, total.P99 = percentile(whole, .5), percentile(whole, .99)
	return total, nil
}

// listening is one connection and what it heard. `parts` are the events of streams that did not end in time.
type listening struct {
	connection            net.Conn
	bound                 time.Time
	leave                 int
	good, bad, left       int
	unfinished, parts     int
	first, transit, whole []int64
	why                   string
}

func (l *listening) close() {
	if l.connection != nil {
		l.connection.Close()
		l.connection = nil
	}
}

func (l *listening) fail(why string, events int) {
	if !time.Now().Before(l.bound) {
		l.unfinished++
		l.parts += events
	} else {
		l.bad++
		l.why = why
		time.Sleep(10 * time.Millisecond)
	}
	l.close()
}

// goes leaves a stream in the middle: every second time with a reset.
func (l *listening) goes(number int64) {
	if tcp, ok := l.connection.(*net.TCPConn); ok && number/int64(l.leave)%2 == 0 {
		tcp.SetLinger(0)
	}
	l.left++
	l.close()
}

func (l *listening) one(target string, request []byte) {
	if l.connection == nil {
		connection, err := net.Dial("tcp", target)
		if err != nil {
			l.fail(err.Error(), 0)
			return
		}
		l.connection = connection
	}
	began := time.Now()
	number := numbered.Add(1)
	l.connection.SetDeadline(l.bound)
	if _, err := l.connection.Write(request); err != nil {
		l.fail(err.Error(), 0)
		return
	}
	buffer := make([]byte, 65536)
	var tail, end []byte
	events, headed := 0, false
	for {
		n, err := l.connection.Read(buffer)
		if err != nil {
			l.fail(err.Error()+" after "+strconv.Itoa(events)+" events: "+string(tail), events)
			return
		}
		now := time.Now()
		tail = append(tail, buffer[:n]...)
		end = append(end, buffer[:n]...)
		if !headed && len(end) >= len(okay) {
			if !bytes.HasPrefix(end, okay) {
				l.fail(string(end[:min(len(end), 400)]), 0)
				return
			}
			headed = true
		}
		if len(end) > 64 {
			end = end[len(end)-64:]
		}
		for {
			at := bytes.IndexByte(tail, '@')
			if at < 0 || len(tail) < at+20 {
				if at < 0 && len(tail) > 512 {
					tail = tail[len(tail)-512:]
				}
				break
			}
			sent, _ := strconv.ParseInt(string(tail[at+1:at+20]), 10, 64)
			tail = tail[at+20:]
			if events == 0 {
				l.first = append(l.first, now.Sub(began).Nanoseconds())
			}
			events++
			l.transit = append(l.transit, now.UnixNano()-sent)
		}
		if l.leave > 0 && number%int64(l.leave) == 0 && events >= contents/2 {
			l.goes(number)
			return
		}
		if bytes.HasSuffix(end, []byte("0\r\n\r\n")) {
			break
		}
	}
	if events != contents || !bytes.Contains(end, []byte("[DONE]")) {
		l.fail("a stream of "+strconv.Itoa(events)+" events: "+string(end), 0)
		return
	}
	l.good++
	l.whole = append(l.whole, time.Since(began).Nanoseconds())
}
