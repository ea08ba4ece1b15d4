package otlp

import (
	"slices"
	"strings"
)

// awsRPC is the rpc.system of calls by AWS SDKs.
const awsRPC = "aws-api"

// calls says whether the span is a call of something else.
func (s *Span) calls() bool { return s.Kind == KindClient || s.Kind == KindProducer }

// peerName returns the name of the callee, "" if the document has that name already.
// Documents are named as the collector names them: by a name that depends on the version
// of the semantic conventions and may be an operation ("GET", "SELECT users"). A callee
// must be one node in graphs, whatever operation is called and whatever conventions the
// caller follows. given says that the span states the document's name explicitly: then
// it is kept.
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

// resource says whether the call accesses a resource of that name.
func (c *Call) resource(name string) bool {
	return slices.Contains([]string{c.TableName, c.Bucket, c.QueueURL, c.TopicARN, c.Function}, name)
}

// awsServiceName returns the service that an AWS SDK calls. The SDKs name such spans
// Service.Operation. It gives services with resources one spelling; the SDKs for Java
// write DynamoDb, Sqs or AmazonDynamoDBv2.
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

// rpcService returns the service of a remote procedure, with its package.
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

// callee returns the name of a callee that is not a named database (table in
// docs/format/otlp.md), "" if the attributes do not tell.
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
	// All systems on this machine share its name. Addresses come last because each
	// replica has another one.
	case system != "" && (host == "" || isLoopback(host)):
		return system
	case host != "":
		return host
	}
	return hostOf(s.firstStr(keyNetPeerIP, keyNetSockPeerAddr, keyServerSocketAddress, keyNetworkPeerAddress))
}

// databaseHost returns the host of db.connection_string, else the callee's host.
func (s *Span) databaseHost() string {
	if s.has(keyDBConnectionString) {
		if host := connectionHost(s); host != "" {
			return host
		}
	}
	return s.host()
}

// system returns the older name of the callee's product.
func (s *Span) system() string {
	switch name := s.firstStr(keyDBSystem, keyDBSystemName, keyMessagingSystem, keyGenAIProviderName, keyGenAISystem); name {
	case "AmazonSQS":
		return "aws_sqs"
	default:
		return stableSystem(name)
	}
}

// database returns the database's own name, without the additions of the stable
// conventions.
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

// destination returns the queue or topic of a message, "" if it exists for one
// conversation only.
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

// host returns the callee's host without port: the name that the caller used, else the
// name of the connection's other end.
func (s *Span) host() string {
	if host := hostOf(s.firstStr(keyHTTPHost, keyNetPeerName, keyServerAddress)); host != "" {
		return host
	}
	if host := urlHost(s.firstStr(keyURLFull, keyHTTPURL)); host != "" {
		return host
	}
	return s.firstStr(keyNetSockPeerName, keyServerSocketDomain)
}

// hostOf removes the port, and the brackets of an IPv6 address.
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

// urlHost returns the host of an absolute URL, "" if there is none.
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
