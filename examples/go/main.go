// Protects one photograph while its upload waits: the deadline is the context's, the request id makes
// a repeated call the same job.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "example.com/upload/protectionpb"
)

const maxAttempts = 8

// protectOnce returns the result and its image, which comes in pieces, or the call's error. Cancelling
// ctx cancels the work on the server.
func protectOnce(ctx context.Context, client pb.ProtectionServiceClient, request *pb.ProtectRequest) (*pb.ProtectionResult, []byte, error) {
	stream, err := client.Protect(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	var result *pb.ProtectionResult
	var image []byte
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if result == nil || int64(len(image)) != result.GetImageBytes() {
				return nil, nil, errors.New("the call ended without a whole result")
			}
			return result, image, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if event.GetResult() != nil {
			result = event.GetResult()
		}
		image = append(image, event.GetChunk().GetData()...)
		if progress := event.GetProgress(); progress != nil {
			log.Printf("%s %.0f%%", progress.GetStage(), 100*progress.GetFraction())
		}
	}
}

// retryDelay says how long to wait before another attempt; false: do not try again.
func retryDelay(err error, backoff time.Duration) (time.Duration, bool) {
	failure := status.Convert(err)
	delay, asked := backoff, false
	for _, detail := range failure.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			delay, asked = max(backoff, retry.GetRetryDelay().AsDuration()), true
		}
	}
	again := failure.Code() == codes.Unavailable || (failure.Code() == codes.ResourceExhausted && asked)
	return delay, again
}

func protect(ctx context.Context, client pb.ProtectionServiceClient, request *pb.ProtectRequest) (*pb.ProtectionResult, []byte, error) {
	backoff := 500 * time.Millisecond
	for attempt := 1; ; attempt++ {
		result, image, err := protectOnce(ctx, client, request)
		if err == nil {
			return result, image, nil
		}
		delay, again := retryDelay(err, backoff)
		if !again || attempt == maxAttempts {
			return nil, nil, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(delay):
		}
		backoff = min(2*backoff, 30*time.Second)
	}
}

func main() {
	server := flag.String("server", "127.0.0.1:8001", "HOST:PORT")
	timeout := flag.Duration("timeout", 10*time.Minute, "of the whole call")
	flag.Parse()
	if flag.NArg() != 3 {
		log.Fatal("usage: upload [-server HOST:PORT] PHOTO OUTPUT REQUEST_ID")
	}
	image, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	connection, err := grpc.NewClient(*server,
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	if key := os.Getenv("ANTIDIFFUSION_API_KEY"); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}
	result, protected, err := protect(ctx, pb.NewProtectionServiceClient(connection),
		&pb.ProtectRequest{Image: image, RequestId: flag.Arg(2)})
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(flag.Arg(1), protected, 0o644); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, at most %d levels\n", result.GetMimeType(), result.GetReport().GetMaxDifference())
}
