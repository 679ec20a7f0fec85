
-- Those of some numbers that are kept, each with its number and when it was appended; before them whether the next one is too much,
-- and how many numbers were looked at.
local t = topic()
if not t or t.id ~= a.id or t.epoch ~= a.epoch or num(t.tail) < a.to then return { 'changed' } end
local events, size = { 'events', '0', '0' }, 0
for place, number in ipairs(a.numbers) do
    if number > num(t.first) then
        local entry = redis.call('XRANGE', E, str(number), str(number))[1]
        if not entry then return { 'hole' } end
        local body = entry[2][4]
        if size + #body > a.bytes and not (a.one and #events == 3) then
            events[2] = '1'
            return events
        end
        if #events > 3 and size > a.slice_bytes then return events end
        size = size + #body
        for _, part in ipairs({ str(number), entry[2][2], body }) do events[#events + 1] = part end
    end
    events[3] = str(place)
end
return events
