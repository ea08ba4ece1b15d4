package otlp

import (
	"slices"
	"strings"
)

// awsRPC is the rpc.system of calls of AWS SDKs.
const awsRPC = "aws-api"

// calls says whether the span is a call of something else.
func (s *Span) calls() bool { return s.Kind == KindClient || s.Kind == KindProducer }

// peerName is the name of what a call leads to, "" where the document's name is
// that already. Documents are named as the collector names them, which depends on
// the version of the semantic conventions and may be an operation ("GET", "SELECT
// users"); one callee is one node whatever is done with it and whoever says so.
// given says that the span gives the document's name outright: that stands.
func (d *Document) peerName(given bool) string {
	s := d.Span
	name := ""
	switch {
	case d.Namespace == "aws":
		if !given || d.AWS.resource(d.Name) {
			name = s.awsServiceName()
		}
	case given:
	default:
		if name = s.database(); name == "" {
			name = s.callee()
		} else if strings.HasPrefix(d.Name, name) && strings.HasPrefix(d.Name[len(name):], "@") {
			return ""
		} else if host := s.databaseHost(); host != "" {
			name += "@" + host
		}
	}
	if name == d.Name {
		return ""
	}
	return name
}

// resource says whether the call is about a resource of that name.
func (c *Call) resource(name string) bool {
	return slices.Contains([]string{c.TableName, c.Bucket, c.QueueURL, c.TopicARN, c.Function}, name)
}

// awsServiceName is the name of the service that a call of an AWS SDK is to. The
// SDKs name such spans Service.Operation. Services that have resources are spelled
// alike, where the SDKs for Java say DynamoDb, Sqs or AmazonDynamoDBv2.
func (s *Span) awsServiceName() string {
	name := s.rpcService()
	if i := strings.LastIndexAny(s.Name, "./"); name == "" && i > 0 {
		name = s.Name[:i]
	}
	short := strings.TrimPrefix(strings.TrimPrefix(name, "Amazon"), "AWS")
	short = strings.TrimSuffix(strings.TrimPrefix(short, " "), "v2")
	for _, service := range [...]string{"DynamoDB", "S3", "SQS", "SNS", "Lambda"} {
		if strings.EqualFold(short, service) {
			return service
		}
	}
	return name
}

// rpcService is the service of a remote procedure, with its package.
func (s *Span) rpcService() string {
	if name := s.str(keyRPCService); name != "" {
		return name
	}
	if s.has(keyRPCSystemName) {
		if i := strings.LastIndexByte(s.str(keyRPCMethod), '/'); i > 0 {
			return s.str(keyRPCMethod)[:i]
		}
	}
	return ""
}

// callee is what a call leads to that is no named database (docs/format/otlp.md has
// the table), "" if the attributes do not say.
func (s *Span) callee() string {
	name := s.destination()
	if name == "" {
		name = s.str(keyFaasInvokedName)
	}
	if name == "" {
		name = s.rpcService()
	}
	if name == "" && (s.has(keyRPCSystem) || s.has(keyRPCSystemName)) {
		// Such spans are named service/method.
		if i := strings.LastIndexByte(s.Name, '/'); i > 0 && strings.IndexByte(s.Name, ' ') < 0 {
			name = strings.TrimPrefix(s.Name[:i], "/")
		}
	}
	if name != "" {
		return name
	}
	host, system := s.databaseHost(), s.system()
	switch {
	// The name of this machine is that of all systems on it; an address that
	// nobody chose changes with each of its replicas.
	case system != "" && (host == "" || isLoopback(host)):
		return system
	case host != "":
		return host
	}
	return hostOf(s.firstStr(keyNetPeerIP, keyNetSockPeerAddr, keyServerSocketAddress, keyNetworkPeerAddress))
}

// databaseHost is the host of db.connection_string, else that of the other end.
func (s *Span) databaseHost() string {
	if s.has(keyDBConnectionString) {
		if host := connectionHost(s); host != "" {
			return host
		}
	}
	return s.host()
}

// system is the product at the other end, by its older name.
func (s *Span) system() string {
	switch name := s.firstStr(keyDBSystem, keyDBSystemName, keyMessagingSystem, keyGenAIProviderName, keyGenAISystem); name {
	case "AmazonSQS":
		return "aws_sqs"
	default:
		return stableSystem(name)
	}
}

// database is the name of the database itself, without what the stable conventions
// put beside it.
func (s *Span) database() string {
	name := s.firstStr(keyDBName, keyDBNamespace, keyDBCassandraKeyspace, keyDBElasticsearchCluster)
	if name == "" {
		return ""
	}
	switch s.system() {
	case "redis", "valkey": // whose databases are numbers
		if strings.Trim(name, "0123456789") == "" {
			return ""
		}
	case "postgresql", "redshift": // database|schema
		name, _, _ = strings.Cut(name, "|")
	case "mssql": // instance|database
		name = name[strings.LastIndexByte(name, '|')+1:]
	}
	return name
}

// destination is the queue or topic of a message, "" for those that are made for
// one conversation.
func (s *Span) destination() string {
	if name := s.str(keyMessagingDestinationTemplate); name != "" {
		return name
	}
	for _, k := range [...]key{keyMessagingDestinationTemporary, keyMessagingDestinationAnonymous, keyMessagingTempDestination} {
		if v := s.get(k); v != nil && v.kind == boolValue && v.num != 0 {
			return ""
		}
	}
	return s.firstStr(keyMessagingDestinationName, keyMessagingDestination, keyMessagingRabbitMQKey, keyMessagingRabbitMQRoutingKey)
}

// host is the logical name of the other end, without port: as the caller knew
// it, before that which the connection had.
func (s *Span) host() string {
	if host := hostOf(s.firstStr(keyHTTPHost, keyNetPeerName, keyServerAddress)); host != "" {
		return host
	}
	if host := urlHost(s.firstStr(keyURLFull, keyHTTPURL)); host != "" {
		return host
	}
	return s.firstStr(keyNetSockPeerName, keyServerSocketDomain)
}

// hostOf leaves out the port, and the brackets of an IPv6 address.
func hostOf(host string) string {
	if strings.HasPrefix(host, "[") {
		if inner, _, ok := strings.Cut(host[1:], "]"); ok {
			return inner
		}
	}
	if name, port, ok := strings.Cut(host, ":"); ok && port != "" && strings.Trim(port, "0123456789") == "" {
		return name
	}
	return host
}

// urlHost is the host of an absolute URL, "" if there is none.
func urlHost(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return hostOf(rest[strings.LastIndexByte(rest, '@')+1:])
}

func isLoopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}
