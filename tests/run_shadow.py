
import sys, time
import checks_shadow
checks_shadow.install()
import numpy as np
import checks_every_kernel as e
from numcnn.kernels import cpu
import collections
times=collections.Counter(); bad={}
n=0
only=sys.argv[1] if len(sys.argv)>1 else ""
for name, call in e.every_case():
    if only not in name: continue
    t=time.perf_counter()
    try: call()
    except (Exception, AssertionError) as x:
        bad[name]=f"{type(x).__name__}: {x}"
        if only: raise
    times[name]=time.perf_counter()-t; n+=1
print(n, sum(times.values()))
for k,v in times.most_common(40): print(round(v,2),k)
for k,v in list(bad.items())[:60]: print(k,'|',v[:200])
print(len(bad), checks_shadow.ALL_KERNELS-checks_shadow.RECORDER.kernels)
