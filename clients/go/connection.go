package autopilot

import (
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// The retry policy of all clients. Retries are safe: Submit and Resume carry a
// request id, the others may be repeated; a watch is resumed by the client itself.
//
//go:embed service_config.json
var serviceConfig string

const (
	// Room for a server with a larger payload limit.
	maxResponseBytes = 16 << 20
	// A request is kept for its retries up to this size: gRPC's 256 KiB are less than a
	// payload may have.
	retryBufferBytes = 16 << 20
)

// Option is an option of [New].
type Option func(*settings)

type settings struct {
	tls      *tls.Config
	token    func(context.Context) (string, error)
	literal  bool
	insecure bool
	timeout  time.Duration
	dial     []grpc.DialOption
}

// WithTLS serves calls over TLS. An empty config trusts the system's authorities.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) { s.tls = config }
}

// WithToken sends a bearer token with each call: over TLS and to this machine;
// elsewhere only with [WithInsecure].
func WithToken(token string) Option {
	return func(s *settings) {
		s.literal = true
		s.token = func(context.Context) (string, error) { return token, nil }
	}
}

// WithTokenSource is [WithToken] with a function that gives the token to use now.
// It is asked for each try of each call.
func WithTokenSource(source func(context.Context) (string, error)) Option {
	return func(s *settings) {
		s.literal = false
		s.token = source
	}
}

// WithInsecure sends tokens over plain text to other machines as well: for where
// something else protects the way.
func WithInsecure() Option {
	return func(s *settings) { s.insecure = true }
}

// WithTimeout is how long a call may take whose context has no deadline. A watch
// may take any time.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.timeout = timeout }
}

// WithDialOptions gives options to gRPC: interceptors, a stats handler, a dialer.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(s.dial, options...) }
}

func (s *settings) dialOptions(address string) ([]grpc.DialOption, error) {
	transport := insecure.NewCredentials()
	if s.tls != nil {
		transport = credentials.NewTLS(s.tls)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxResponseBytes),
			grpc.MaxRetryRPCBufferSize(retryBufferBytes),
		),
		// Finds a dead connection within 80 s, where a call is open.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 60 * time.Second, Timeout: 20 * time.Second}),
		// A server that is restarted is found again at once, not after minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if s.token != nil {
		if err := s.checkToken(address); err != nil {
			return nil, err
		}
		options = append(options, grpc.WithPerRPCCredentials(bearer{s.token}))
	}
	return append(options, s.dial...), nil
}

// --- tokens ---

func (s *settings) checkToken(address string) error {
	if s.tls == nil && !s.insecure && !isLoopback(address) {
		return fmt.Errorf("autopilot: a token is not sent to %s over plain text, where others could read it: "+
			"use WithTLS, or WithInsecure where something else protects the way", address)
	}
	if !s.literal {
		return nil
	}
	_, err := bearer{s.token}.GetRequestMetadata(context.Background())
	return err
}

// As RFC 6750 has it. gRPC would name the token in its error for anything else.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

var errNoToken = errors.New("autopilot: the token is empty, or has characters that no token has, such as spaces or line ends")

// bearer sends a token; where it may be sent has been looked at before.
type bearer struct {
	token func(context.Context) (string, error)
}

func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b.token(ctx)
	if err != nil {
		return nil, err
	}
	if !tokenForm.MatchString(token) {
		return nil, errNoToken
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// String keeps the token out of texts.
func (bearer) String() string { return "bearer token" }

func isLoopback(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(strings.TrimPrefix(address, "dns:///"))
	if err != nil {
		host = address
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
