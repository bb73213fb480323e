# What Funnelcast changes in the file that Ray Serve writes for HAProxy.
1i\
# funnelcast: edited

# Ray binds statistics and Prometheus to every interface: to loopback.
s/^([[:space:]]*bind )\*?:([0-9]+)/\1127.0.0.1:\2/

# A log line for every request, sent to a port on which nobody listens.
s/^([[:space:]]*)(option httplog|log 127\.0\.0\.1:514 .*)$/\1# \2/

# Serve would watch every connection for its end, to cancel what nobody waits for, at two tasks of a
# replica's loop per request. A decision is made and recorded all the same.
#
# A request goes to a replica when it is there: who is slow to send it keeps nobody's place.
#
# Where a request comes from is what HAProxy sees, whatever the request says of itself.
/^frontend http_frontend/a\
    http-request set-header x-request-disconnect-disabled ?1\
    http-request set-header x-forwarded-for %[src]\
    http-request del-header x-forwarded-proto\
    option http-buffer-request\
    timeout http-request 5s

# Beyond what a replica holds at once (the gate of the application, serving/answer/gate.py) requests
# wait here, where refusing them costs the replica nothing, and not for long. Ray would answer 500.
/^backend http-/a\
    timeout queue 25ms\
    http-error status 503 content-type application/problem+json hdr retry-after 1 string '{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"more requests wait than can be answered in time"}'\
    default-server maxconn 64
