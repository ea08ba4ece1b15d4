package ship

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/fluoro-io/fluoro/internal/audit"
)

// bucket puts records into S3, in the layout of CloudTrail ("Finding your CloudTrail log
// files"). The name of an object follows from its first record: a delivery that is
// repeated replaces the object.
type bucket struct {
	client         *s3.Client
	bucket, prefix string
	server         string
}

// s3Pause is the least time between two deliveries: CloudTrail delivers about every five
// minutes.
const s3Pause = time.Minute

// openS3 finds credentials as all AWS SDKs do: environment, files, roles.
func openS3(ctx context.Context, u *url.URL, server string) (*bucket, time.Duration, error) {
	var load []func(*config.LoadOptions) error
	var set []func(*s3.Options)
	pause := s3Pause
	for name, values := range u.Query() {
		switch value := values[0]; name {
		case "region":
			load = append(load, config.WithRegion(value))
		case "endpoint":
			set = append(set, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = aws.String(value), true })
		case "interval":
			var err error
			if pause, err = time.ParseDuration(value); err != nil || pause < time.Second {
				return nil, 0, fmt.Errorf("interval %.50q: want a duration of at least 1s", value)
			}
		default:
			return nil, 0, fmt.Errorf("there is no parameter %.50q", name)
		}
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, 0, err
	}
	if c.Region == "" {
		return nil, 0, fmt.Errorf("the region of the bucket is needed: ?region=REGION or $AWS_REGION")
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &bucket{s3.NewFromConfig(c, set...), u.Host, prefix, server}, pause, nil
}

func (b *bucket) send(ctx context.Context, batch []audit.Found) error {
	type owner struct{ account, region string }
	var order []owner
	groups := map[owner][]audit.Found{}
	for _, f := range batch {
		var e struct {
			Account string `json:"recipientAccountId"`
			Region  string `json:"awsRegion"`
		}
		if err := json.Unmarshal(f.Event, &e); err != nil {
			return fmt.Errorf("record %d: %w", f.Seq, err)
		}
		o := owner{e.Account, e.Region}
		if groups[o] == nil {
			order = append(order, o)
		}
		groups[o] = append(groups[o], f)
	}
	for _, o := range order {
		body, err := logFile(groups[o])
		if err != nil {
			return err
		}
		_, err = b.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String(b.bucket), Key: aws.String(b.key(o.account, o.region, batch[0].Seq, groups[o][0])),
			Body: bytes.NewReader(body), ContentType: aws.String("application/json"), ContentEncoding: aws.String("gzip"),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// key returns the name of the object that begins with a record. batch is the number of the
// first record of the delivery.
func (b *bucket) key(account, region string, batch uint64, first audit.Found) string {
	var e struct {
		Time string `json:"eventTime"`
	}
	_ = json.Unmarshal(first.Event, &e) // send has read it
	at, err := time.Parse(time.RFC3339, e.Time)
	if err != nil {
		at = time.Unix(0, 0)
	}
	at = at.UTC()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s %d %d", b.server, account, region, batch, first.Seq))
	unique := base32.StdEncoding.EncodeToString(sum[:10]) // 16 characters
	return fmt.Sprintf("%sAWSLogs/%s/CloudTrail/%s/%s/%s_CloudTrail_%s_%s_%s.json.gz", b.prefix, account, region, at.Format("2006/01/02"), account, region, at.Format("20060102T1504Z"), unique)
}

// logFile returns a log file of CloudTrail.
func logFile(records []audit.Found) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	between := `{"Records":[`
	for _, f := range records {
		_, _ = z.Write([]byte(between)) // a buffer takes everything
		_, _ = z.Write(f.Event)
		between = ","
	}
	_, _ = z.Write([]byte("]}"))
	err := z.Close()
	return out.Bytes(), err
}

func (b *bucket) close() error { return nil }
