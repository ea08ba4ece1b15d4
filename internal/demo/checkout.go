package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-xray-sdk-go/v2/xray"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// queueURL names the order queue as an app on AWS would; calls go to the shop's own
// queue server.
const queueURL = "https://sqs.eu-west-1.amazonaws.com/000000000000/orders"

var errPayment = errors.New("payment was declined upstream")

// checkout places orders: reserves stock, takes money, queues the parcel. X-Ray
// SDK.
func (s *shop) checkout(ctx context.Context, inventory, payments, queue string) (string, error) {
	ctx, err := s.recorder(ctx, "1.9.3")
	if err != nil {
		return "", err
	}
	client := xray.Client(&http.Client{Timeout: 10 * time.Second})
	conn, err := grpc.NewClient(inventory, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(xray.UnaryClientInterceptor(xray.WithSegmentNamer(xray.NewFixedSegmentNamer("inventory")))))
	if err != nil {
		return "", fmt.Errorf("start checkout: %w", err)
	}
	s.closers = append(s.closers, func(context.Context) { _ = conn.Close() })
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		order := strconv.Itoa(100000 + s.random.intn(900000))
		_ = xray.AddAnnotation(r.Context(), "order_id", order)
		if err := xray.Capture(r.Context(), "validate", func(ctx context.Context) error {
			s.random.work(ctx, 2*time.Millisecond)
			return nil
		}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		reply := new(wrapperspb.StringValue)
		if err := conn.Invoke(r.Context(), "/shop.Inventory/Reserve", wrapperspb.String("shoes"), reply); err != nil {
			http.Error(w, "out of stock", http.StatusConflict)
			return
		}
		status, err := get(r.Context(), client, "POST", "http://"+payments+"/charge")
		if err == nil && status >= 500 {
			err = fmt.Errorf("order %s: %w", order, errPayment)
		}
		if err != nil {
			_ = xray.AddError(r.Context(), err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if status == http.StatusTooManyRequests {
			http.Error(w, "try again later", status)
			return
		}
		if err := send(r.Context(), queue, order); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	return s.serve("checkout", "X-Ray SDK, HTTP", "", xray.HandlerWithContext(ctx, xray.NewFixedSegmentNamer("checkout"), mux))
}

// send puts an order on the queue and records it as the AWS SDK would: an SQS call
// that passes the trace header on with the message.
func send(ctx context.Context, queue, order string) error {
	return xray.Capture(ctx, "SQS", func(ctx context.Context) error {
		seg := xray.GetSegment(ctx)
		if seg == nil {
			return nil
		}
		seg.Lock()
		seg.Namespace = "aws"
		seg.AWS = map[string]any{"operation": "SendMessage", "queue_url": queueURL, "region": "eu-west-1", "message_id": order}
		seg.Unlock()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+queue+"/messages", bytes.NewReader([]byte(order)))
		if err != nil {
			return err
		}
		req.Header.Set("X-Amzn-Trace-Id", seg.DownstreamHeader().String())
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
}
