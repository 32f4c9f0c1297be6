package main

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// caller is one connection that sends a request as soon as the answer before it is whole.
type caller struct {
	fd      int
	began   time.Time
	written int
	answer  []byte
	need    int // bytes of the whole answer; 0 while its head is not here
}

var okay = []byte("HTTP/1.1 200")

// whole drives answers that are not streamed, by epoll on one thread: the generator must cost less than what it measures.
func whole(target string, connections int, seconds float64, request []byte) (Report, error) {
	runtime.LockOSThread()
	epoll, err := syscall.EpollCreate1(0)
	if err != nil {
		return Report{}, err
	}
	callers := map[int32]*caller{}
	for i := 0; i < connections; i++ {
		c, err := dial(target)
		if err != nil {
			return Report{}, err
		}
		callers[int32(c.fd)] = c
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)}
		if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, c.fd, &event); err != nil {
			return Report{}, err
		}
	}
	var report Report
	var times []int64
	buffer := make([]byte, 1<<20)
	events := make([]syscall.EpollEvent, connections)
	start := time.Now()
	end := start.Add(time.Duration(seconds * 1e9))
	for _, c := range callers {
		if err := c.send(request); err != nil {
			return Report{}, err
		}
	}
	for now := start; now.Before(end); {
		n, err := syscall.EpollWait(epoll, events, 1000)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return Report{}, err
		}
		now = time.Now()
		for _, event := range events[:n] {
			c := callers[event.Fd]
			done, good, err := c.read(buffer)
			if err != nil {
				return Report{}, fmt.Errorf("after %d answers: %w", report.Good, err)
			}
			if !done {
				continue
			}
			if good {
				report.Good++
				times = append(times, now.Sub(c.began).Nanoseconds())
			} else {
				report.Bad++
				report.Why = string(c.answer[:min(len(c.answer), 600)])
			}
			if err := c.send(request); err != nil {
				return Report{}, err
			}
		}
	}
	report.Done = float64(report.Good)
	report.Rate = report.Done / time.Since(start).Seconds()
	ordered(times)
	report.P50, report.P99 = percentile(times, .5), percentile(times, .99)
	return report, nil
}

func dial(target string) (*caller, error) {
	address, err := net.ResolveTCPAddr("tcp4", target)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	where := syscall.SockaddrInet4{Port: address.Port}
	copy(where.Addr[:], address.IP.To4())
	if err := syscall.Connect(fd, &where); err != nil {
		return nil, err
	}
	return &caller{fd: fd}, syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
}

// send writes the whole request; the socket blocks, so that a large one needs no second look.
func (c *caller) send(request []byte) error {
	c.began, c.answer, c.need = time.Now(), c.answer[:0], 0
	for written := 0; written < len(request); {
		n, err := syscall.Write(c.fd, request[written:])
		if err != nil {
			return err
		}
		written += n
	}
	return nil
}

func (c *caller) read(buffer []byte) (done, good bool, err error) {
	n, err := syscall.Read(c.fd, buffer)
	if err != nil {
		return false, false, err
	}
	if n == 0 {
		return false, false, fmt.Errorf("the server closed the connection")
	}
	c.answer = append(c.answer, buffer[:n]...)
	if c.need == 0 {
		head := bytes.Index(c.answer, []byte("\r\n\r\n"))
		if head < 0 {
			return false, false, nil
		}
		length, chunked := framing(c.answer[:head])
		switch {
		case chunked && bytes.HasSuffix(c.answer, []byte("\r\n0\r\n\r\n")):
			c.need = len(c.answer)
		case chunked:
			return false, false, nil
		default:
			c.need = head + 4 + length
		}
	}
	return len(c.answer) >= c.need, bytes.HasPrefix(c.answer, okay), nil
}

// framing finds how long the body of a head is, or that it comes in chunks.
func framing(head []byte) (length int, chunked bool) {
	for _, line := range bytes.Split(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(name) == 14 && bytes.EqualFold(name, []byte("content-length")):
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		case len(name) == 17 && bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = true
		}
	}
	return length, chunked
}
