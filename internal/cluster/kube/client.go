package kube

import (
	"fmt"
	"net"
	"net/http"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// A dead connection to the API server is found by HTTP/2 pings: one is sent
// after pingAfter of silence and must be answered within pingTimeout. client-go
// itself waits 30 s and 15 s (apimachinery v0.36, util/net/http.go), which is
// far too long for a page that shows an outage while it lasts.
const (
	pingAfter   = time.Second
	pingTimeout = time.Second
	dialTimeout = 3 * time.Second
)

// clients are REST clients for the few API groups that are watched. Typed
// clientsets would register every group of Kubernetes, at some 10 MB of memory.
type clients struct {
	http                                *http.Client
	core, coordination, discovery, apps rest.Interface
	autoscaling, policy                 rest.Interface
	params                              runtime.ParameterCodec
}

func newClients(cfg *rest.Config) (*clients, error) {
	httpClient, err := httpClientFor(cfg)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, coordinationv1.AddToScheme, discoveryv1.AddToScheme, appsv1.AddToScheme, policyv1.AddToScheme,
		autoscalingv2.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	c := &clients{http: httpClient, params: runtime.NewParameterCodec(scheme)}
	codecs := serializer.NewCodecFactory(scheme)
	for _, g := range []struct {
		gv   schema.GroupVersion
		path string
		out  *rest.Interface
	}{
		{corev1.SchemeGroupVersion, "/api", &c.core},
		{coordinationv1.SchemeGroupVersion, "/apis", &c.coordination},
		{discoveryv1.SchemeGroupVersion, "/apis", &c.discovery},
		{appsv1.SchemeGroupVersion, "/apis", &c.apps},
		{autoscalingv2.SchemeGroupVersion, "/apis", &c.autoscaling},
		{policyv1.SchemeGroupVersion, "/apis", &c.policy},
	} {
		gc := rest.CopyConfig(cfg)
		gc.GroupVersion, gc.APIPath = &g.gv, g.path
		gc.NegotiatedSerializer = codecs.WithoutConversion()
		gc.ContentType = runtime.ContentTypeProtobuf
		gc.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
		gc.QPS = -1 // a handful of watches and one heartbeat a second need no throttle
		gc.UserAgent = "zdl-view"
		rc, err := rest.RESTClientForConfigAndClient(gc, httpClient)
		if err != nil {
			return nil, fmt.Errorf("API client for %s: %w", g.gv, err)
		}
		*g.out = rc
	}
	return c, nil
}

// httpClientFor builds what rest.HTTPClientFor would, but with quick detection
// of dead connections.
func httpClientFor(cfg *rest.Config) (*http.Client, error) {
	tc, err := cfg.TransportConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig's credentials: %w", err)
	}
	tlsConfig, err := transport.TLSConfigFor(tc)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig's certificates: %w", err)
	}
	dial := (&net.Dialer{Timeout: dialTimeout, KeepAlive: 5 * time.Second}).DialContext
	if tc.DialHolder != nil {
		dial = tc.DialHolder.Dial
	}
	proxy := tc.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	t := &http.Transport{
		Proxy: proxy, DialContext: dial, TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: dialTimeout, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	rt, err := transport.HTTPWrappersForConfig(tc, t)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig's credentials: %w", err)
	}
	return &http.Client{Transport: rt}, nil
}
