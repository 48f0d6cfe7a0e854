// A service that runs workflows for callers of its own: it submits jobs, passes on
// their progress, the callers' deadlines and their leaving, and can be repeated.
//
//	go run . -autopilot 127.0.0.1:50051 -listen 127.0.0.1:8080
//	curl -N -d '{"name": "Ada"}' -H 'Idempotency-Key: ada-1' '127.0.0.1:8080/run/hello?timeout=30s'
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	autopilot "github.com/autopilot-jobs/autopilot/clients/go"
)

func main() {
	address := flag.String("autopilot", "127.0.0.1:50051", "address of Autopilot")
	listen := flag.String("listen", "127.0.0.1:8080", "address to serve on")
	flag.Parse()
	if err := serve(*address, *listen); err != nil {
		log.Fatal(err)
	}
}

func serve(address, listen string) error {
	jobs, err := connect(address)
	if err != nil {
		return err
	}
	defer jobs.Close()
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Println("serving on", listener.Addr())
	return serveUntilStopped(listener, &Service{Jobs: jobs})
}

// connect takes the token from the environment, where it stands in no list of processes.
func connect(address string) (*autopilot.Client, error) {
	var options []autopilot.Option
	if token := os.Getenv("AUTOPILOT_TOKEN"); token != "" {
		options = append(options, autopilot.WithToken(token))
	}
	return autopilot.New(address, options...)
}

// serveUntilStopped tells the handlers, by the cause of their contexts, that it is
// the service that ends, and not the caller that left.
func serveUntilStopped(listener net.Listener, service *Service) error {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	server := &http.Server{
		Handler:           service.Handler(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ended := make(chan error, 1)
	go func() {
		<-signals
		stop(errStopping)
		deadline, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ended <- server.Shutdown(deadline)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}
