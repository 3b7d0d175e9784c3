"""How the notebooks are run by nbval, alone and together with the tests."""

import os

# kernels that nbval starts inherit this: one thread and no GPU, so that numbers agree
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# what takes longest begins first; 5 and 6 need not train where they find the model of 4
ORDER = ("04", "03", "10", "07", "08", "09", "02", "01", "00", "05", "06")


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(ORDER)}
    items.sort(key=lambda item: places.get(item.path.name[:2], len(places)))
