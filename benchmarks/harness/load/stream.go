package main

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"time"
)

// stream drives streamed answers. Each content event carries '@' and the 19 digits of when it was sent.
func stream(target string, connections int, seconds float64, request []byte) (Report, error) {
	var total Report
	var lock sync.Mutex
	var group sync.WaitGroup
	var first, transit, whole []int64
	start := time.Now()
	end := start.Add(time.Duration(seconds * 1e9))
	for i := 0; i < connections; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			var own listening
			for time.Now().Before(end) {
				own.one(target, request)
			}
			own.close()
			lock.Lock()
			defer lock.Unlock()
			total.Good += own.good
			total.Bad += own.bad
			total.Events += len(own.transit)
			if own.why != "" {
				total.Why = own.why
			}
			first = append(first, own.first...)
			transit = append(transit, own.transit...)
			whole = append(whole, own.whole...)
		}()
	}
	group.Wait()
	total.Rate = float64(total.Good) / time.Since(start).Seconds()
	ordered(first)
	ordered(transit)
	ordered(whole)
	total.First50, total.First99 = percentile(first, .5), percentile(first, .99)
	total.Event50, total.Event99 = percentile(transit, .5), percentile(transit, .99)
	total.P50, total.P99 = percentile(whole, .5), percentile(whole, .99)
	return total, nil
}

// listening is one connection and what it heard.
type listening struct {
	connection            net.Conn
	good, bad             int
	first, transit, whole []int64
	why                   string
}

func (l *listening) close() {
	if l.connection != nil {
		l.connection.Close()
		l.connection = nil
	}
}

func (l *listening) fail(why string) {
	l.bad++
	l.why = why
	l.close()
}

func (l *listening) one(target string, request []byte) {
	if l.connection == nil {
		connection, err := net.Dial("tcp", target)
		if err != nil {
			l.fail(err.Error())
			time.Sleep(10 * time.Millisecond)
			return
		}
		l.connection = connection
	}
	began := time.Now()
	l.connection.SetDeadline(began.Add(20 * time.Second))
	if _, err := l.connection.Write(request); err != nil {
		l.fail(err.Error())
		return
	}
	buffer := make([]byte, 65536)
	var tail, end []byte
	events := 0
	for {
		n, err := l.connection.Read(buffer)
		if err != nil {
			l.fail(err.Error() + " after " + strconv.Itoa(events) + " events: " + string(tail))
			return
		}
		now := time.Now()
		tail = append(tail, buffer[:n]...)
		end = append(end, buffer[:n]...)
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
		if bytes.HasSuffix(end, []byte("0\r\n\r\n")) {
			break
		}
	}
	if events != contents || !bytes.Contains(end, []byte("[DONE]")) {
		l.fail("a stream of " + strconv.Itoa(events) + " events: " + string(end))
		return
	}
	l.good++
	l.whole = append(l.whole, time.Since(began).Nanoseconds())
}
