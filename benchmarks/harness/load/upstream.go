package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// open connections, and calls under way on them: GET of any path tells
var open, calls atomic.Int64

const contents = 28 // events with content: with the role, the end and [DONE] a stream has 31

const chunkHead = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[{"index":0,"delta":`

var answer = []byte(`{"id":"chatcmpl-abc123","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there! How may I assist you today with your multi-model pipeline?"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":14,"total_tokens":33},"system_fingerprint":"fp_1"}`)

var wholeAnswer = append([]byte(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n", len(answer))), answer...)

const streamHead = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

// upstream answers every POST like a chat model: at once, or streamed; paced where the model's name says so.
func upstream(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go serve(connection) // Go sets TCP_NODELAY
	}
}

func serve(connection net.Conn) {
	open.Add(1)
	defer open.Add(-1)
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 65536)
	for {
		head, err := readHead(reader)
		if err != nil {
			return
		}
		if bytes.HasPrefix(head, []byte("GET ")) {
			told := fmt.Sprintf(`{"open":%d,"calls":%d}`, open.Load()-1, calls.Load())
			fmt.Fprintf(connection, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s", len(told), told)
			return
		}
		length, chunked := framing(head)
		body, err := readBody(reader, length, chunked)
		if err != nil {
			return
		}
		streams := bytes.Contains(body, []byte(`"stream":true`)) || bytes.Contains(body, []byte(`"stream": true`))
		calls.Add(1)
		switch {
		case streams && bytes.Contains(body, []byte(`paced`)):
			err = paced(connection)
		case streams:
			err = atOnce(connection)
		default:
			_, err = connection.Write(wholeAnswer)
		}
		calls.Add(-1)
		if err != nil {
			return
		}
	}
}

func readHead(reader *bufio.Reader) ([]byte, error) {
	var head []byte
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if len(line) <= 2 && len(head) > 0 {
			return head, nil
		}
		head = append(head, line...)
	}
}

func readBody(reader *bufio.Reader, length int, chunked bool) ([]byte, error) {
	if !chunked {
		body := make([]byte, length)
		_, err := io.ReadFull(reader, body)
		return body, err
	}
	var body []byte
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return nil, err
		}
		var size int
		fmt.Sscanf(line, "%x", &size)
		piece := make([]byte, size+2)
		if _, err := io.ReadFull(reader, piece); err != nil {
			return nil, err
		}
		if size == 0 {
			return body, nil
		}
		body = append(body, piece[:size]...)
	}
}

// event is number i of a stream, as one chunk of the transfer.
func event(i int) []byte {
	var data string
	switch {
	case i == 0:
		data = chunkHead + `{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}`
	case i <= contents:
		data = chunkHead + fmt.Sprintf(`{"content":"@%019d"},"logprobs":null,"finish_reason":null}],"usage":null}`, time.Now().UnixNano())
	case i == contents+1:
		data = chunkHead + `{},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":28,"total_tokens":47}}`
	default:
		data = "[DONE]"
	}
	text := "data: " + data + "\n\n"
	return []byte(fmt.Sprintf("%x\r\n%s\r\n", len(text), text))
}

func atOnce(connection net.Conn) error {
	var all bytes.Buffer
	all.WriteString(streamHead)
	for i := 0; i < contents+3; i++ {
		all.Write(event(i))
	}
	all.WriteString("0\r\n\r\n")
	_, err := connection.Write(all.Bytes())
	return err
}

func paced(connection net.Conn) error {
	if _, err := connection.Write([]byte(streamHead)); err != nil {
		return err
	}
	time.Sleep(10 * time.Millisecond)
	for i := 0; i < contents+3; i++ {
		piece := event(i)
		if i == contents+2 {
			piece = append(piece, "0\r\n\r\n"...)
		}
		if _, err := connection.Write(piece); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}
