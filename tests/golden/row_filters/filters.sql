tenant = 'a'
ev.tenant = 'a' AND id BETWEEN 1 AND 5 -- mine
tenant IN ('a', 'b') OR has(arr, 1)
(tenant, id) IN (('a', 3), ('a', 6))
arrayExists(x -> x > 1 AND tenant = 'a', arr)
ts > now() - INTERVAL 3 DAY
ts >= '2024-01-01 00:00:00' AND ts < toDateTime('2024-01-02 00:00:00')
if(flag, 0, 1)
lower(secret) LIKE 'a%' AND secret NOT LIKE '%\'%'
1
